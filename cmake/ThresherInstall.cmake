include(GNUInstallDirs)
if(TARGET thresher)
    install(TARGETS thresher RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET thresher_cuda)
    install(TARGETS thresher_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY jobs/configs DESTINATION ${CMAKE_INSTALL_DATADIR}/thresher)
install(DIRECTORY src mpi io DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/thresher
        FILES_MATCHING PATTERN "*.hpp")
install(TARGETS thresher_science thresher_mpi thresher_io EXPORT thresher
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
